package media

import "strings"

// SendKeys presses keys (0-9, *, #, A-D) one after the other, 100 ms each: as
// telephone events, or as tones to a far end that takes none. Audio to the far
// end is withheld while a key sounds. Of keys beyond the 64 that may wait, and of
// those that new terms forbid meanwhile, nothing is sent. ErrNoKeys: neither can be sent.
func (l *Leg) SendKeys(keys string) error {
	codes, err := keyCodes(keys)
	if err != nil {
		return err
	}
	l.mu.Lock()
	able := l.agreed.pressable()
	l.mu.Unlock()
	if !able {
		return ErrNoKeys
	}
	l.do(func(s *stream, _ int64) {
		for _, code := range codes {
			s.pressKey(code)
		}
	})
	return nil
}

// Press says that the far end has pressed a key in a way that the media do not
// show, as by SIP INFO. It is told as KeyDown and Key, and pressed anew towards
// who hears the leg, as any key is. A phone that sends its keys two ways is
// believed in one of them. Anything but 0-9, *, #, A-D is no key. The events are
// there when Press returns.
func (l *Leg) Press(key rune) {
	if !strings.ContainsRune(keyNames, key) {
		return
	}
	told := make(chan struct{})
	l.do(func(s *stream, _ int64) {
		defer close(told)
		s.pressed(byInfo, KeyDown{key})
		s.pressed(byInfo, Key{Key: key})
	})
	select {
	case <-told:
	case <-l.stream.gone:
	}
}

// HideKeys keeps what the far end presses from everybody else, until it is
// called with false: while a caller types what is private. Keys are still told
// as events of this leg, but are not handed on, and recordings are silent where
// they sound. So that tones can be muted before they are heard, the leg's audio
// reaches its peer 50 ms later meanwhile. That takes G.711, and telephone events
// on any other codec; what a phone lets a room hear of its keys through the
// microphone stays audible.
func (l *Leg) HideKeys(hide bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hidden = hide
	fresh := newJitter()
	l.do(func(s *stream, _ int64) {
		s.hidden = hide
		s.muffle(fresh)
	})
}
