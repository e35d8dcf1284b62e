package peer

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartPrometheus runs a Prometheus that scrapes the node each second and gives
// its address, http://host:port.
func StartPrometheus(t testing.TB, b *Bugle) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(
		"scrape_configs: [{job_name: bugle, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%q]}]}]\n",
		strings.TrimPrefix(b.HTTP, "http://")))
	address := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	start(t, exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))
	Eventually(t, 20*time.Second, "prometheus to be ready", func() bool {
		resp, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return "http://" + address
}
