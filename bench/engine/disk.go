package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk is how long it takes to have 4 KiB on it: in place, in a file that is
// there, which is the least that any log can wait for; and at the end of a file
// that grows, where the disk is written to twice.
type disk struct {
	dir              string
	inPlace, growing []float64 // ms
}

// measure adds to the samples; it is asked again while the benchmark goes on.
func (d *disk) measure() error {
	f, err := os.Create(filepath.Join(d.dir, "sync"))
	if err != nil {
		return err
	}
	defer f.Close()
	const blocks, size = 256, 4096
	block := make([]byte, size)
	for range blocks {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	for i := range 3 * blocks {
		for _, w := range []struct {
			at int
			to *[]float64
		}{{i % blocks, &d.inPlace}, {blocks + i, &d.growing}} {
			if w.to == &d.growing && i%3 > 0 {
				continue
			}
			start := time.Now()
			if _, err := f.WriteAt(block, int64(w.at)*size); err != nil {
				return err
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
			*w.to = append(*w.to, ms(time.Since(start)))
		}
	}
	fmt.Printf("fdatasync of 4 KiB on this disk: in place p50 %.3f ms p99 %.2f ms, growing p50 %.3f ms p99 %.2f ms\n",
		quantile(d.inPlace, 0.5), quantile(d.inPlace, 0.99), quantile(d.growing, 0.5), quantile(d.growing, 0.99))
	return nil
}
