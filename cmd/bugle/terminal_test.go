package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A password is not shown where it is typed, and the terminal shows again what is
// typed afterwards, however the asking ended.
func TestPasswordIsNotShown(t *testing.T) {
	for _, typed := range []string{"secret\n", ""} {
		keyboard, tty := pseudoTerminal(t)
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		var said bytes.Buffer
		var password string
		var err error
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			password, err = askPassword(ctx, environment{in: tty, err: &said})
		}()
		for echoes(t, tty) {
			select {
			case <-asked:
				t.Fatalf("asked where it is shown: %q, %v", password, err)
			default:
				runtime.Gosched()
			}
		}
		if typed == "" {
			interrupt()
		} else if _, err := keyboard.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		<-asked
		switch {
		case typed == "" && !errors.Is(err, context.Canceled):
			t.Errorf("interrupted: %q, %v", password, err)
		case typed != "" && (password != "secret" || err != nil):
			t.Errorf("got %q, %v", password, err)
		}
		if said.String() != "password (not shown): \n" {
			t.Errorf("said %q", said.String())
		}
		if !echoes(t, tty) {
			t.Errorf("after %q the terminal stays blind", typed)
		}
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(keyboard.Fd()), Events: unix.POLLIN}}, 0); n != 0 || err != nil {
			t.Errorf("after %q there is something on the screen (%d, %v)", typed, n, err)
		}
		_, _ = keyboard.WriteString("\n") // ends the reader of who was interrupted: later its file may be another's
	}
}

// pseudoTerminal gives a terminal and what stands for its keyboard and screen.
func pseudoTerminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return keyboard, tty
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}
