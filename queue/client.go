package queue

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	lua "github.com/yuin/gopher-lua"

	"github.com/bugle-voice/bugle/config"
)

// connect makes the client, and the embedded server if cfg names no address.
// Nothing is sent yet.
func connect(cfg config.Redis) (*redis.Client, *embedded) {
	o := &redis.Options{
		Addr:                  cfg.Addr, // host:port; tests give the path of a Unix socket
		Username:              cfg.Username,
		Password:              cfg.Password,
		DB:                    cfg.DB,
		Protocol:              2,
		ReadTimeout:           3 * time.Second, // longer than the inbox reader blocks
		MaxRetries:            -1,              // whoever asks decides what to ask again
		ContextTimeoutEnabled: true,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	if cfg.Addr == "" {
		e := &embedded{miniredis.NewMiniRedis()}
		o.Addr, o.Dialer, o.Username, o.Password = "embedded", e.dial, "", ""
		return redis.NewClient(o), e
	}
	if cfg.TLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return redis.NewClient(o), nil
}

// embedded is a Redis inside the process, for demos and small sites of one
// node. It has no listener: its only clients are in-memory pipes of ours.
//
// Its clock for key lifetimes stays off: nothing here rests on one, and it
// would sort all keys at every command.
type embedded struct{ server *miniredis.Miniredis }

func (e *embedded) dial(context.Context, string, string) (net.Conn, error) { return e.server.Dial() }

func (e *embedded) close() { e.server.Close() }

// init gives the embedded Redis smaller Lua stacks. It makes a Lua state for
// every run of a script, and clearing its stacks was a third of the cost of a
// run; our scripts are shallow.
func init() {
	lua.RegistrySize = 1024 // values; the default is 5120
	lua.CallStackSize = 64  // calls; the default is 256
}

// The client's own log goes nowhere: what it reports comes back as an error
// from the command, and is handled there.
func init() { redis.SetLogger(silent{}) }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
