package ivr

import (
	"context"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
)

// Run leads a caller through the flow of the number he dialled, starting in
// its language, and gives what he came for. observe is told of each step as it
// is entered; nil is fine. An error is the phone's (the caller hung up, ctx
// ended) or names a fault in a flow that Check would have found.
func Run(ctx context.Context, flows map[string]config.Flow, dialled config.Number, phone Phone, observe func(event.StepEntered)) (Outcome, error) {
	panic("unwritten")
}
