package sip

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// repeatedHeaders are what an answer takes from its request (RFC 3261 section
// 8.2.6.2), by their long and compact names.
var repeatedHeaders = map[string]bool{
	"via": true, "v": true, "from": true, "f": true, "to": true, "t": true, "call-id": true, "i": true, "cseq": true,
}

// badRequest answers a request that cannot be read with 400 or 416, as RFC 4475 asks: the
// lines an answer repeats are found without reading them. It gives nil for what is
// no request, wants no answer, or does not say by a Via that it does.
func badRequest(data []byte) []byte {
	head, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	start, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if bytes.HasPrefix(start, []byte("SIP/2.0 ")) || bytes.HasPrefix(start, []byte("ACK ")) {
		return nil
	}
	answer := []byte("SIP/2.0 400 Bad Request\r\n")
	if foreignScheme(start) {
		answer = []byte("SIP/2.0 416 Unsupported URI Scheme\r\n")
	}
	keep, via := false, false
	for line := range bytes.SplitSeq(rest, []byte("\r\n")) {
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') { // it goes on with the line before
			if keep {
				answer = append(answer[:len(answer)-len("\r\n")], line...)
				answer = append(answer, "\r\n"...)
			}
			continue
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		n := strings.ToLower(strings.TrimRight(string(name), " \t"))
		keep = repeatedHeaders[n]
		via = via || n == "via" || n == "v"
		if keep {
			answer = append(append(answer, line...), "\r\n"...)
		}
	}
	answer = append(answer, "Content-Length: 0\r\n\r\n"...)
	if !via || !inLines(answer, bytes.Count(answer, []byte("\r\n"))-1) {
		return nil
	}
	return answer
}

// foreignScheme reports whether a request is to a URI that is none of SIP's; sipgo
// cannot read some, such as soap.beep://h.
func foreignScheme(start []byte) bool {
	_, uri, _ := strings.Cut(string(start), " ")
	scheme, _, found := strings.Cut(uri, ":")
	scheme = strings.ToLower(scheme)
	return found && scheme != "" && scheme != "sip" && scheme != "sips" && scheme != "tel" && strings.IndexFunc(scheme, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	}) < 0
}

// refuse answers a datagram that cannot be read. Where the answer is to go is not
// known either: it goes back to where the datagram came from.
func (ln *listener) refuse(from netip.AddrPort, data []byte) {
	answer := badRequest(data)
	if answer == nil {
		return
	}
	ln.seen(true, from, answer)
	if _, err := ln.udp.WriteTo(answer, net.UDPAddrFromAddrPort(from)); err != nil {
		ln.edge.metrics.sendFailed.Inc()
		return
	}
	ln.edge.metrics.responses.count(otherMethod, 4)
}

// isWhole reports whether a message has the headers that every one has.
func isWhole(m gosip.Message) bool {
	return m.Via() != nil && m.CallID() != nil && m.CSeq() != nil && m.From() != nil && m.To() != nil
}
