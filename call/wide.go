package call

import (
	"context"
	"errors"
	"slices"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// A talk begins in G.711, so that it begins at once. If both far ends take a codec
// of media.codecs too, both are offered it in mid-call, and their sound passes
// untouched from then on. G.711 stays agreed beside it, for music on hold and for
// what a supervisor's mix plays; a far end that keeps one codec only is brought
// back to G.711.

// wideTries bounds how often a talk is widened: a phone that goes back to G.711
// each time is left there.
const wideTries = 3

// allowed gives the codecs of media.codecs, best first.
func (c *Conductor) allowed() []media.Codec {
	var codecs []media.Codec
	for _, name := range c.Config.Media.Codecs {
		if codec, ok := media.ParseCodec(name); ok {
			codecs = append(codecs, codec)
		}
	}
	return codecs
}

// offered gives what an agent's phone is offered: G.711 as the caller has it, and
// behind it what the caller takes beyond.
func (c *inbound) offered() []media.Codec {
	offer := media.Preferring(c.media.Codec())
	for _, codec := range c.allowed() {
		if slices.Contains(c.media.Takes(), codec) {
			offer = append(offer, codec)
		}
	}
	return offer
}

// talker is one side of a talk.
type talker struct {
	leg   *sip.Leg
	media *media.Leg
}

// errOneCodec is a far end that does not keep G.711 beside another codec, or keeps
// nothing else.
var errOneCodec = errors.New("the far end keeps one codec only")

// widen keeps a talk in the best codec that both sides take, until ctx ends. It is
// told when a side has changed its codec.
func (c *inbound) widen(ctx context.Context, changed <-chan struct{}, sides ...talker) {
	for range wideTries {
		wide := c.common(sides)
		if wide == 0 {
			c.narrow(ctx, sides) // who talked in another codec with somebody else before
		} else if err := c.recode(ctx, wide, sides); err != nil && ctx.Err() == nil {
			c.log.Info("a talk stays in G.711", "codec", wide, "error", err)
			c.narrow(ctx, sides)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// common gives the best of the codecs that both sides take; 0 if there is none.
func (c *inbound) common(sides []talker) media.Codec {
	for _, codec := range c.allowed() {
		if !slices.ContainsFunc(sides, func(s talker) bool { return !slices.Contains(s.media.Takes(), codec) }) {
			return codec
		}
	}
	return 0
}

// recode agrees on a codec with each side that has another, G.711 behind it.
func (c *inbound) recode(ctx context.Context, codec media.Codec, sides []talker) error {
	for i, s := range sides {
		if s.media.Codec() == codec {
			continue
		}
		other := sides[1-i].media
		s.media.Prefer(append([]media.Codec{codec}, media.Preferring(other.Codec())...), other.Formats()...)
		if err := s.leg.Reinvite(ctx); err != nil {
			return err
		}
		if s.media.Codec() != codec || !s.media.CanPlay() {
			return errOneCodec
		}
	}
	return nil
}

// narrow brings back to G.711 whoever has left it.
func (c *inbound) narrow(ctx context.Context, sides []talker) {
	for _, s := range sides {
		s.media.Prefer(media.Preferring(0))
		if slices.Contains(media.Preferring(0), s.media.Codec()) {
			continue
		}
		if err := s.leg.Reinvite(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("a talk could not be brought back to G.711", "error", err)
		}
	}
}
