package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
	"github.com/coder/websocket"
)

// A page reaches the SIP side of a running node over its HTTP listener.
func TestSIPOverWebSocket(t *testing.T) {
	t.Parallel()
	config := strings.Replace(peer.DemoConfig(t, ports), "  trunks:\n", "  websocket: {path: /sip}\n  trunks:\n", 1)
	bugle := peer.StartBugle(t, config, "anna")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, bugle.HTTP+"/sip", &websocket.DialOptions{Subprotocols: []string{"sip"}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	register := "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\nFrom: <sip:anna@127.0.0.1>;tag=1\r\nTo: <sip:anna@127.0.0.1>\r\nCall-ID: page\r\nCSeq: 1 REGISTER\r\nContact: <sip:anna@x.invalid;transport=ws>\r\n\r\n"
	if err := ws.Write(ctx, websocket.MessageText, []byte(register)); err != nil {
		t.Fatal(err)
	}
	if _, answer, err := ws.Read(ctx); err != nil || !strings.HasPrefix(string(answer), "SIP/2.0 401") {
		t.Errorf("%.60q %v", answer, err)
	}
}
