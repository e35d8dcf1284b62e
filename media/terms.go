package media

import "net/netip"

// terms is what an offer and its answer agreed on: all that the running side of
// a leg knows of SDP. The zero terms say that nothing is agreed yet.
type terms struct {
	codec       Codec      // what we send
	payloadType uint8      // its number with the far end
	keys        bool       // telephone events may be sent
	keysType    uint8      // their number with the far end
	receive     [128]Codec // what each payload type that may come in stands for

	far  netip.AddrPort // where the far end expects us; not valid on an old-style hold
	send bool           // it wants to hear us
	hear bool           // it will speak
}

// agreed tells whether there has been an offer and an answer.
func (t *terms) agreed() bool { return t.codec != 0 }
