package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk measures how long a write of 4 KiB takes to reach the disk: in place, in
// an existing file, which is the minimum for any log; and at the end of a growing
// file, where the disk is written to twice. A disk's speed varies, so it is
// measured in turns with the engine.
type disk struct {
	file             *os.File
	block            [diskBlock]byte
	asked            int
	inPlace, growing []float64 // ms
}

const (
	diskBlock  = 4096
	diskBlocks = 256 // in place
)

func openDisk(dir string) (*disk, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	_, err = f.Write(make([]byte, diskBlocks*diskBlock))
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &disk{file: f}, nil
}

// sample writes n times in place, and a third as often at the end.
func (d *disk) sample(n int) error {
	for range n {
		if err := d.write(d.asked%diskBlocks, &d.inPlace); err != nil {
			return err
		}
		if d.asked%3 == 0 {
			if err := d.write(diskBlocks+d.asked/3, &d.growing); err != nil {
				return err
			}
		}
		d.asked++
	}
	return nil
}

func (d *disk) write(block int, took *[]float64) error {
	start := time.Now()
	if _, err := d.file.WriteAt(d.block[:], int64(block)*diskBlock); err != nil {
		return err
	}
	if err := syscall.Fdatasync(int(d.file.Fd())); err != nil {
		return err
	}
	*took = append(*took, ms(time.Since(start)))
	return nil
}

func (d *disk) String() string {
	return fmt.Sprintf("fdatasync of 4 KiB on this disk: in place p50 %.3f ms p99 %.2f ms, growing p50 %.3f ms p99 %.2f ms",
		quantile(d.inPlace, 0.5), quantile(d.inPlace, 0.99), quantile(d.growing, 0.5), quantile(d.growing, 0.99))
}
