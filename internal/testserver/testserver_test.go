package testserver

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestServerThatEnds(t *testing.T) {
	never := func(context.Context, string) error { return errors.New("not ready") }
	err := run(nil, never, "sh", "-c", "echo because; exit 3")
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "because") {
		t.Errorf("error %v", err)
	}
}

func TestInstallOfNothing(t *testing.T) {
	if err := install("sh", "no-such-package"); err != nil {
		t.Errorf("a program that is there: %v", err)
	}
}
