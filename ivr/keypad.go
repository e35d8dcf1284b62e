package ivr

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// noKey is what key gives when the caller pressed none in time.
const noKey rune = 0

// keyHeld is how long a key may be held down before it counts as not pressed.
const keyHeld = 10 * time.Second

// keypad turns a phone's signals into keys: it stops prompts that are barged
// into and keeps what is typed ahead.
type keypad struct {
	phone Phone
	ahead []rune // pressed and not yet asked for

	excused      rune // see excuse
	excusedUntil time.Time
}

// excuse lets one press of a key pass unheard within the time given: many end
// an entry that was full already, by habit, and do not mean what comes next.
func (k *keypad) excuse(key rune, within time.Duration) {
	switch {
	case len(k.ahead) == 0:
		k.excused, k.excusedUntil = key, time.Now().Add(within)
	case k.ahead[0] == key:
		k.ahead = k.ahead[1:]
	}
}

// passes says whether a signal is of the excused key. Any other key ends the
// excuse, and so does the whole press.
func (k *keypad) passes(s Signal) bool {
	if s.Key != k.excused || time.Now().After(k.excusedUntil) {
		k.excused = noKey
		return false
	}
	if s.Kind == Key {
		k.excused = noKey
	}
	k.excusedUntil = time.Now().Add(keyHeld) // it may be held down
	return true
}

// gather keeps what was pressed while nobody asked. A key being pressed right
// now is waited for: it may make a prompt needless.
func (k *keypad) gather(ctx context.Context) error {
	within := time.Duration(0)
	for {
		s, err := k.next(ctx, within)
		switch {
		case err != nil:
			return err
		case s.Kind == TimedOut:
			return nil
		case s.Kind == KeyDown:
			within = keyHeld
		case s.Kind == Key:
			k.ahead = append(k.ahead, s.Key)
			within = 0
		}
	}
}

// forget drops what was typed ahead.
func (k *keypad) forget(ctx context.Context) error {
	err := k.gather(ctx)
	k.ahead = nil
	return err
}

// key gives the next key: one typed ahead, or else one pressed while the
// prompts are spoken or within wait after them. noKey means none came.
func (k *keypad) key(ctx context.Context, prompts []Prompt, wait time.Duration) (rune, error) {
	if err := k.gather(ctx); err != nil {
		return noKey, err
	}
	if len(k.ahead) > 0 {
		key := k.ahead[0]
		k.ahead = k.ahead[1:]
		return key, nil
	}
	speaking := len(prompts) > 0
	if speaking {
		k.phone.Play(prompts...)
	}
	deadline := time.Now().Add(wait)
	for {
		within := max(0, time.Until(deadline))
		if speaking {
			within = -1
		}
		s, err := k.next(ctx, within)
		if err != nil {
			return noKey, err
		}
		switch s.Kind {
		case TimedOut:
			return noKey, nil
		case Finished:
			if speaking {
				speaking, deadline = false, time.Now().Add(wait)
			}
		case KeyDown, Key:
			if speaking {
				k.phone.Silence()
				speaking = false
			}
			if s.Kind == Key {
				return s.Key, nil
			}
			deadline = time.Now().Add(keyHeld)
		}
	}
}

// speakUntilKey speaks the prompts to their end or until a key is pressed,
// which is kept for the next step. Who types ahead hears nothing of them.
func (k *keypad) speakUntilKey(ctx context.Context, prompts []Prompt) error {
	if len(prompts) == 0 {
		return ctx.Err()
	}
	key, err := k.key(ctx, prompts, 0)
	if err == nil && key != noKey {
		k.ahead = slices.Insert(k.ahead, 0, key)
	}
	return err
}

// speak speaks the prompts to their end. As in VoiceXML (2.0, section 4.1.5)
// what is pressed before and meanwhile is not kept: the caller could not have
// known what he would be asked.
func (k *keypad) speak(ctx context.Context, prompts []Prompt) error {
	if err := k.forget(ctx); err != nil || len(prompts) == 0 {
		return err
	}
	k.phone.Play(prompts...)
	held := noKey
	for {
		s, err := k.next(ctx, -1)
		switch {
		case err != nil:
			return err
		case s.Kind == KeyDown:
			held = s.Key
		case s.Kind == Key:
			held = noKey
		case s.Kind == Finished:
			if held != noKey {
				k.excuse(held, keyHeld) // until it is let go
			}
			return nil
		}
	}
}

// next waits for the next signal that means something to a flow; a negative
// time is no limit.
func (k *keypad) next(ctx context.Context, within time.Duration) (Signal, error) {
	deadline := time.Now().Add(within)
	for {
		s, err := k.phone.Next(ctx, within)
		if err != nil || s.Kind == TimedOut || s.Kind == Finished {
			return s, err
		}
		if strings.ContainsRune(config.Keypad, s.Key) && !k.passes(s) {
			return s, nil
		}
		if within >= 0 {
			within = max(0, time.Until(deadline))
		}
	}
}
