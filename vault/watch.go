package vault

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Many is from how many values under one key on a rotation is asked for. AES-GCM
// with nonces chosen by chance wants far fewer than 2^32 (NIST SP 800-38D section
// 8.3); this leaves room for a dozen nodes that share the key.
const Many = 1 << 28

const (
	lookEvery  = 2 * time.Second // at the keyset's file
	countEvery = time.Minute     // the count of what was sealed is written down
)

// Watcher is told what happens to a vault's keys. Its functions are called by
// Watch, one at a time.
type Watcher struct {
	Refresh time.Duration         // a command is run so often; 0: only when a key is missing
	TakenUp func(k Key)           // another key has become the primary one
	Worn    func(k Key, n uint64) // this node has sealed Many values or more under it; called once a key
}

// Watch takes up rotations until ctx ends: within two seconds that of a file,
// within Refresh that of a command. A variable of the environment can't change. A
// keyset that can't be used leaves the one there is, for Healthy to tell. Watch
// also keeps count, over restarts, of what is sealed in data_dir.
func (v *Vault) Watch(ctx context.Context, w Watcher) {
	look, count := time.NewTicker(lookEvery), time.NewTicker(countEvery)
	defer look.Stop()
	defer count.Stop()
	var worn uint32
	for {
		select {
		case <-ctx.Done():
			_ = v.writeCount() // a minute's worth is lost at most
			return
		case <-look.C:
			if k, taken := v.lookAgain(ctx, w.Refresh); taken && w.TakenUp != nil {
				w.TakenUp(k)
			}
		case <-count.C:
			_ = v.writeCount() // on a full disk the next minute will do
			if k, n := v.Keys()[0], v.Sealed(); n >= Many && k.ID != worn && w.Worn != nil {
				worn = k.ID
				w.Worn(k, n)
			}
		}
	}
}

// lookAgain reads the keyset if its source may have another, and reports whether
// another key is the primary one than it has told of before: the keyset may have
// been read by somebody else first, who missed a key.
func (v *Vault) lookAgain(ctx context.Context, refresh time.Duration) (primary Key, taken bool) {
	v.reading.Lock()
	defer v.reading.Unlock()
	if v.source.changed() || v.source.due(refresh) {
		_ = v.read(ctx) // Healthy tells
	}
	if primary = v.Keys()[0]; primary.ID == v.told {
		return primary, false
	}
	v.told = primary.ID
	return primary, true
}

// countFile lies in data_dir: the primary key's id and how many values this node
// has sealed under it.
const countFile = "vault.count"

// readCount gives 0 for another key, and for a file that is missing or damaged:
// the count is a warning, not a limit.
func readCount(dataDir string, primary uint32) uint64 {
	text, err := os.ReadFile(filepath.Join(dataDir, countFile))
	var id uint32
	var n uint64
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscanf(string(text), "%d %d", &id, &n); err != nil || id != primary {
		return 0
	}
	return n
}

func (v *Vault) writeCount() error {
	if v.dir == "" {
		return nil
	}
	ring := v.ring.Load()
	text := fmt.Appendf(nil, "%d %d\n", ring.primary, ring.sealed.Load())
	if err := replaceFile(filepath.Join(v.dir, countFile), text, nil); err != nil {
		return fmt.Errorf("keep count of what is sealed: %w", err)
	}
	return nil
}

// Sealed gives how many values this node has sealed under the primary key.
func (v *Vault) Sealed() uint64 { return v.ring.Load().sealed.Load() }

// Collectors gives the vault's metrics, to be registered with Prometheus.
func (v *Vault) Collectors() []prometheus.Collector {
	return []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bugle_vault_sealed_values",
		Help: "Values this node has sealed under the keyset's primary key: rotate it long before the sum over all nodes is 2^32.",
	}, func() float64 { return float64(v.Sealed()) })}
}
