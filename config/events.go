package config

import "time"

// Events is the node's event log, in data_dir.
type Events struct {
	SegmentBytes int      `yaml:"segment_bytes"` // about the size of one file of it; default 67108864 (64 MiB)
	Rotate       Duration `yaml:"rotate"`        // a file is ended when its first event is so old, so that keep is kept; default 24h
	Keep         Duration `yaml:"keep"`          // what has been dealt with is kept so long; default 168h
	ReserveBytes int      `yaml:"reserve_bytes"` // disk space set aside for the calls under way when the disk is full; default 33554432 (32 MiB)
}

func (e *Events) defaults() {
	*e = Events{SegmentBytes: 64 << 20, Rotate: Duration(24 * time.Hour), Keep: Duration(7 * 24 * time.Hour), ReserveBytes: 32 << 20}
}

func (k *checker) events() {
	k.between(k.Events.SegmentBytes, 1<<20, 1<<30, at("events", "segment_bytes"))
	k.between(k.Events.ReserveBytes, 1<<20, 1<<30, at("events", "reserve_bytes"))
	k.positive(k.Events.Rotate, at("events", "rotate"))
	k.notNegative(k.Events.Keep, at("events", "keep"))
}
