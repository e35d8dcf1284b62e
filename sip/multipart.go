package sip

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// maxParts of a body are looked at.
const maxParts = 16

// content is what a message carries.
type content struct {
	sdp     []byte // nil if none
	foreign bool   // something that must be understood, and is not
}

// bodied is a message as far as its body goes.
type bodied interface {
	headed
	Body() []byte
}

// contentOf reads a message's body: a session description, or several parts with one
// among them (RFC 5621), such as a carrier's signalling or a caller's place. Of parts
// only those are asked to be understood that say so: who sends a place along says
// nothing, though strictly that means it must be.
func contentOf(m bodied) content {
	body := m.Body()
	kind := mediaType(m)
	switch {
	case len(body) == 0:
		return content{}
	case strings.HasPrefix(kind, "multipart/"):
		return partsOf(header(m, "content-type", "c"), body)
	case kind == sdpType:
		return content{sdp: body}
	}
	_, params := dispositionOf(header(m, "content-disposition", ""))
	return content{foreign: !strings.EqualFold(params["handling"], "optional")}
}

func partsOf(contentType string, body []byte) content {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" || !bytes.Contains(body, []byte("--"+params["boundary"]+"--")) { // the reader takes any end for the last
		return content{foreign: true}
	}
	var c content
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range maxParts {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			break
		}
		text, err := io.ReadAll(p)
		if err != nil {
			break
		}
		kind, _, _ := strings.Cut(p.Header.Get("Content-Type"), ";")
		use, params := dispositionOf(p.Header.Get("Content-Disposition"))
		switch sdp := strings.EqualFold(strings.TrimSpace(kind), sdpType) && (use == "" || use == "session") && plain(p); {
		case sdp && c.sdp == nil && len(text) > 0:
			c.sdp = text
		case strings.EqualFold(params["handling"], "required"):
			c.foreign = true
		}
	}
	return content{foreign: true} // it does not end
}

// plain reports whether a part is written as it is.
func plain(p *multipart.Part) bool {
	switch strings.ToLower(p.Header.Get("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
		enc := p.Header.Get("Content-Encoding")
		return enc == "" || strings.EqualFold(enc, "identity")
	}
	return false
}

// dispositionOf reads what a body is for (RFC 3261 section 20.11), lower-case; nothing
// if it cannot be read.
func dispositionOf(value string) (use string, params map[string]string) {
	use, params, err := mime.ParseMediaType(value)
	if err != nil {
		return "", nil
	}
	return use, params
}
