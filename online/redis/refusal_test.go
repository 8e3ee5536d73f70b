package redis

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// TestHashRefused: HGETALL is left out for a while where it is not allowed, and not for what is wrong with one key or one time.
func TestHashRefused(t *testing.T) {
	for text, refused := range map[string]bool{
		"WRONGTYPE Operation against a key holding the wrong kind of value": false,
		"LOADING Redis is loading the dataset in memory":                    false,
		"MOVED 1 127.0.0.1:1":                   false,
		"ERR upstream failure":                  false,
		"NOPERM No permissions to access a key": false,
		"NOPERM this user has no permissions to access one of the keys used as arguments":    false,
		"NOPERM this user has no permissions to run the 'hgetall' command or its subcommand": true,
		"ERR unknown command `HGETALL`, with args beginning with: `k0`, ":                    true,
		"ERR handle request, command 'HGETALL' is not allowed":                               true,
	} {
		for _, direct := range []bool{true, false} {
			var bad atomic.Bool
			s := startServer(t, func(_ int, cmd []string) string {
				if strings.EqualFold(cmd[0], "hgetall") && bad.Load() {
					return "-" + text + "\r\n"
				}
				return answerOf(cmd)
			})
			store := s.open(t, map[string]any{"read_command": "hgetall", "direct_reads": direct}, "")
			r, plan := prepare(t, store)
			read := func() (hashes, fields int) {
				t.Helper()
				if err := readAll(t.Context(), t, r, plan, 1); err != nil {
					t.Errorf("%s: %v", text, err)
				}
				seen := s.commands()
				return strings.Count(seen, "hgetall"), strings.Count(seen, "hmget")
			}
			bad.Store(true)
			read()
			bad.Store(false)
			if refused {
				for i := range askAgain {
					if hashes, fields := read(); hashes != 0 || fields != 1 {
						t.Fatalf("%s: read %d with %d HGETALL and %d HMGET", text, i, hashes, fields)
					}
				}
			}
			if hashes, fields := read(); hashes != 1 || fields != 0 {
				t.Errorf("%s: then %d HGETALL and %d HMGET", text, hashes, fields)
			}
		}
	}
}

// TestScriptsRefused: likewise scripts, without which the row that was refused is written.
func TestScriptsRefused(t *testing.T) {
	p := newProxy(t, testserver.Redis(t))
	direct := openStore(t, 3, nil)
	table, key := drivers(t, direct)
	s := openStore(t, 3, map[string]any{"connection_string": p.addr})
	seconds := int64(200)
	for text, refused := range map[string]bool{
		"ERR upstream failure":                                             false,
		"NOPERM No permissions to access a key":                            false,
		"NOPERM this user has no permissions to run the 'evalsha' command": true,
		"ERR unknown command 'evalsha'":                                    true,
		"ERR command EVALSHA is not supported":                             true,
	} {
		next := func(want bool) {
			t.Helper()
			seconds++
			row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{seconds, "y"}}
			write(t, s, table, online.WriteResult{Written: 1}, row)
			if got := s.noScripts.left.Load() > 0; got != want {
				t.Errorf("%s: scripts are left out: %t, want %t", text, got, want)
			}
		}
		p.set("evalsha", 1, say("-"+text))
		next(refused)
		if p.left() != 0 {
			t.Errorf("%s: did not happen", text)
		}
		if refused {
			next(true)
			s.noScripts.left.Store(1)
			next(false) // the last one without
		}
		p.set("evalsha", 1, cut)
		next(false)
		if p.left() != 0 {
			t.Errorf("%s: the script is not tried again", text)
		}
	}
}

// TestServerErrors: what a server answers in place of a row has a class.
func TestServerErrors(t *testing.T) {
	for text, want := range map[string]error{
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": feasterr.ErrUnavailable,
		"OOM command not allowed when used memory > 'maxmemory'.":                                feasterr.ErrUnavailable,
		"MISCONF Redis is configured to save RDB snapshots, but it is unable to persist":         feasterr.ErrUnavailable,
		"BUSYKEY Target key name already exists.":                                                feasterr.ErrInvalid,
		"ERR boom": feasterr.ErrInvalid,
		"ERR unknown command 'HMGET', with args beginning with: 'k0'": feasterr.ErrUnsupported,
		"NOPERM No permissions to access a key":                       feasterr.ErrDenied,
	} {
		s := startServer(t, func(int, []string) string { return "-" + text + "\r\n" })
		r, plan := prepare(t, s.open(t, map[string]any{"read_command": "hmget"}, ""))
		err := readAll(t.Context(), t, r, plan, 1)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) || feasterr.Retryable(err) != errors.Is(want, feasterr.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}
