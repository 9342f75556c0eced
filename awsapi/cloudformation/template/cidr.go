package template

import (
	"math/big"
	"net/netip"
)

// cidr is Fn::Cidr: a number of blocks of a size out of one block.
func cidr(_ *Env, v any) (any, error) {
	failed := wrong("Template error: Fn::Cidr requires a list of the block, the number of blocks (1 to 256) and the bits of each")
	list, ok := v.([]any)
	if !ok || len(list) < 2 || len(list) > 3 {
		return nil, failed
	}
	text, ok := Text(list[0])
	block, err := netip.ParsePrefix(text)
	count, isNumber := number(list[1])
	if !ok || err != nil || !isNumber || count < 1 || count > 256 {
		return nil, failed
	}
	width := block.Addr().BitLen()
	bits := 8
	if len(list) == 3 {
		if bits, isNumber = number(list[2]); !isNumber {
			return nil, failed
		}
	} else if width == 128 {
		bits = 64
	}
	if bits < 1 || bits > width-block.Bits() {
		return nil, wrong("Template error: Fn::Cidr cannot make blocks of %d bits out of %s", bits, text)
	}
	at := new(big.Int).SetBytes(block.Masked().Addr().AsSlice())
	step := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	end := new(big.Int).Add(at, new(big.Int).Lsh(big.NewInt(1), uint(width-block.Bits())))
	out := []any{}
	for range count {
		if new(big.Int).Add(at, step).Cmp(end) > 0 {
			return nil, wrong("Template error: Fn::Cidr cannot make %d blocks of %d bits out of %s", count, bits, text)
		}
		addr, _ := netip.AddrFromSlice(at.FillBytes(make([]byte, width/8)))
		out = append(out, netip.PrefixFrom(addr, width-bits).String())
		at = new(big.Int).Add(at, step)
	}
	return out, nil
}
