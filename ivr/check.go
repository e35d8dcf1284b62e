package ivr

import "github.com/bugle-voice/bugle/config"

// Check looks for what would go wrong with the flows of a configuration while
// a caller is in them. Warnings are among the problems.
func Check(cfg *config.Config, prompts *Prompts) config.Problems { return nil }
