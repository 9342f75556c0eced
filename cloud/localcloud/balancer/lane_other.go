//go:build !linux

package balancer

import (
	"net"
	"sync"
	"time"
)

// laned is nothing where there are no lanes: every client has a goroutine of its own.
type laned struct{}

// spares are what nobody leaves there.
type spares struct{}

// lane is what there is none of.
type lane struct{}

func (f *front) acceptForLanes(net.Listener) (done bool, err error) { return false, nil }
func (f *front) endLanes()                                          {}
func (f *front) sweepLanes(time.Time) *sync.WaitGroup               { return new(sync.WaitGroup) }
