package literal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
)

// msgpackTag marks a Binary that holds MessagePack, which is how flytekit
// writes dataclasses and untyped dicts since 1.14.
const msgpackTag = "msgpack"

var errMsgpack = errors.New("not MessagePack")

// decodeMsgpack decodes MessagePack (github.com/msgpack/msgpack, spec.md) to a
// value that encoding/json can write; keys become strings, bytes base64. It
// never allocates more than in proportion to b, whatever lengths b claims.
func decodeMsgpack(b []byte) (any, error) {
	d := msgpackDecoder{rest: b}
	v := d.value(0)
	if d.failed || len(d.rest) > 0 {
		return nil, errMsgpack
	}
	return v, nil
}

type msgpackDecoder struct {
	rest   []byte
	failed bool
}

// take is the next n bytes, or none when there are not so many.
func (d *msgpackDecoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.failed, d.rest = true, nil
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

// uint is the next n bytes, 8 at most, as a big-endian number.
func (d *msgpackDecoder) uint(n uint64) uint64 {
	var u uint64
	for _, b := range d.take(n) {
		u = u<<8 | uint64(b)
	}
	return u
}

func (d *msgpackDecoder) value(depth int) any {
	first := d.take(1)
	if d.failed || depth > maxDepth {
		d.failed = true
		return nil
	}
	switch c := first[0]; {
	case c <= 0x7f: // positive fixint
		return int64(c)
	case c >= 0xe0: // negative fixint
		return int64(int8(c)) //nolint:gosec // The byte is a signed one.
	case c&0xf0 == 0x80: // fixmap
		return d.object(uint64(c&0x0f), depth)
	case c&0xf0 == 0x90: // fixarray
		return d.array(uint64(c&0x0f), depth)
	case c&0xe0 == 0xa0: // fixstr
		return string(d.take(uint64(c & 0x1f)))
	case c == 0xc0:
		return nil
	case c == 0xc2, c == 0xc3:
		return c == 0xc3
	case c >= 0xc4 && c <= 0xc6: // bin 8, 16, 32
		return base64.StdEncoding.EncodeToString(d.take(d.uint(1 << (c - 0xc4))))
	case c == 0xca:
		return finite(float64(math.Float32frombits(uint32(d.uint(4))))) //nolint:gosec // Four bytes fit.
	case c == 0xcb:
		return finite(math.Float64frombits(d.uint(8)))
	case c >= 0xcc && c <= 0xcf: // uint 8 to 64
		u := d.uint(1 << (c - 0xcc))
		if u > math.MaxInt64 {
			return u
		}
		return int64(u)
	case c >= 0xd0 && c <= 0xd3: // int 8 to 64
		size := uint64(1) << (c - 0xd0)
		shift := 64 - 8*size
		return int64(d.uint(size)<<shift) >> shift //nolint:gosec // The sign is among the bits.
	case c >= 0xd9 && c <= 0xdb: // str 8, 16, 32
		return string(d.take(d.uint(1 << (c - 0xd9))))
	case c == 0xdc, c == 0xdd:
		return d.array(d.uint(2<<(c-0xdc)), depth)
	case c == 0xde, c == 0xdf:
		return d.object(d.uint(2<<(c-0xde)), depth)
	default: // Extension types, and 0xc1, which is never used.
		d.failed = true
		return nil
	}
}

// finite is f, or its name where JSON has no such number.
func finite(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	return f
}

func (d *msgpackDecoder) array(n uint64, depth int) any {
	list := []any{}
	for range n {
		list = append(list, d.value(depth+1))
		if d.failed {
			return nil
		}
	}
	return list
}

func (d *msgpackDecoder) object(n uint64, depth int) any {
	m := map[string]any{}
	for range n {
		key := d.value(depth + 1)
		m[fmt.Sprint(key)] = d.value(depth + 1)
		if d.failed {
			return nil
		}
	}
	return m
}
