package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// digest returns the sum and size of f, and its content when that fits buf.
func digest(ctx context.Context, f io.Reader, buf []byte) (whole, sum []byte, size int64, err error) {
	n, err := io.ReadFull(f, buf)
	h := sha256.New()
	h.Write(buf[:n])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if n == 0 {
			return []byte{}, h.Sum(nil), 0, nil
		}
		return buf[:n], h.Sum(nil), int64(n), nil
	case err != nil:
		return nil, nil, 0, err
	}
	rest, err := copyContext(ctx, hashWriter{h}, f, buf)
	return nil, h.Sum(nil), int64(n) + rest, err
}

// hashWriter hides everything but Write, so that a copy uses the buffer given.
type hashWriter struct{ h hash.Hash }

func (w hashWriter) Write(p []byte) (int, error) { return w.h.Write(p) }

// copyContext copies until EOF or until ctx ends.
func copyContext(ctx context.Context, w io.Writer, r io.Reader, buf []byte) (int64, error) {
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, context.Cause(ctx)
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
