package interop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// pythonEnv names a Python that has Feast. Without it the tests of this package are skipped.
const pythonEnv = "FEAST_PYTHON"

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		code = 1
	}
	if code == 0 {
		// The census library, which the emulator of Cloud Storage links, has a worker from its start.
		if err := goleak.Find(goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// peer is Feast: a Python process that runs testdata/peer.py and answers calls, one at a time. It starts with the first
// call and serves all tests.
type peer struct {
	mu      sync.Mutex
	cmd     *exec.Cmd
	calls   *os.File
	out     *os.File
	answers *bufio.Reader // of out
	log     *os.File      // what Python wrote to standard error
}

var shared peer

// feastError is an exception in Python.
type feastError struct{ Class, Message string }

func (e *feastError) Error() string { return fmt.Sprintf("Feast: %s: %s", e.Class, e.Message) }

// start starts the process unless it runs.
func (p *peer) start() (err error) {
	if p.cmd != nil {
		return nil
	}
	var files []*os.File
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
		}
	}()
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
			files = append(files, r, w)
		}
		return r, w
	}
	theirIn, calls := pipe()
	answers, theirOut := pipe()
	if err != nil {
		return err
	}
	log, err := os.CreateTemp("", "feast-peer-*.log")
	if err != nil {
		return err
	}
	files = append(files, log)
	if err := os.Remove(log.Name()); err != nil { // it stays readable while it is open
		return err
	}
	cmd := exec.CommandContext(context.Background(), os.Getenv(pythonEnv), "testdata/peer.py")
	cmd.Env = append(os.Environ(), "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, log
	if err := cmd.Start(); err != nil {
		return err
	}
	_, _ = theirIn.Close(), theirOut.Close()
	p.cmd, p.calls, p.out, p.answers, p.log = cmd, calls, answers, bufio.NewReader(answers), log
	return nil
}

// call calls a function of peer.py and decodes its result. When ctx ends first, the process does too; the next call
// starts another.
func (p *peer) call(ctx context.Context, name string, args map[string]any, result any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.start(); err != nil {
		return err
	}
	running := p.cmd.Process
	stop := context.AfterFunc(ctx, func() { _ = running.Kill() })
	line, err := p.exchange(map[string]any{"call": name, "args": args})
	if !stop() || err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%s: %w", name, errors.Join(err, p.end()))
	}
	var answer struct {
		Result json.RawMessage
		Error  *feastError
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %w", name, answer.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

func (p *peer) exchange(call any) ([]byte, error) {
	line, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	if _, err := p.calls.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	return p.answers.ReadBytes('\n')
}

// end kills the process, which has nothing to say any more.
func (p *peer) end() error {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	err := errors.Join(p.calls.Close(), p.out.Close(), p.log.Close())
	p.cmd = nil
	return err
}

// stop lets the process come to its end.
func (p *peer) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := p.calls.Close()
	return errors.Join(err, cmd.Wait(), p.out.Close(), p.log.Close())
}

// logged returns what Python wrote to standard error from an offset on.
func (p *peer) logged(from int64) (text string, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return "", 0
	}
	info, err := p.log.Stat()
	if err != nil || info.Size() < from {
		return "", 0
	}
	b, _ := io.ReadAll(io.NewSectionReader(p.log, from, info.Size()-from))
	return string(b), info.Size()
}

// useFeast skips the test where there is no Feast. What Python writes meanwhile is shown when the test fails.
func useFeast(t testing.TB) {
	t.Helper()
	if os.Getenv(pythonEnv) == "" {
		t.Skipf("%s names no Python with Feast: make interop makes one and runs this", pythonEnv)
	}
	_, from := shared.logged(0)
	t.Cleanup(func() {
		if text, _ := shared.logged(from); t.Failed() && strings.TrimSpace(text) != "" {
			t.Logf("Python wrote:\n%s", text)
		}
	})
}

// TestPeer: exceptions come back as errors, and a call that is given up takes the process with it, but not the next call.
func TestPeer(t *testing.T) {
	useFeast(t)
	var fe *feastError
	if err := shared.call(t.Context(), "plan", map[string]any{"repo": t.TempDir()}, nil); !errors.As(err, &fe) || fe.Class != "FileNotFoundError" {
		t.Errorf("a folder without feature_store.yaml: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shared.call(ctx, "plan", map[string]any{"repo": t.TempDir()}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that is given up: %v", err)
	}
	if err := shared.call(t.Context(), "plan", map[string]any{"repo": t.TempDir()}, nil); !errors.As(err, &fe) {
		t.Errorf("the next: %v", err)
	}
}
