package fleet

import (
	"syscall"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
)

// restart is under way at an instance whose process a fault has killed.
type restart struct {
	fault string
	over  chan struct{} // closed when the process may start again
}

// beginRestart kills the processes of a fault's instances. Their life goes on in live.
// The fleet is locked.
func (f *Fleet) beginRestart(fault driver.Fault) {
	for _, id := range fault.Instances {
		i := f.instances[id]
		i.restart = &restart{fault: fault.ID, over: make(chan struct{})}
		i.process.Signal(syscall.SIGKILL)
	}
}

// endRestart lets the instances of a fault start again. The fleet is locked.
func (f *Fleet) endRestart(fault string) {
	for _, i := range f.instances {
		if i.restart != nil && i.restart.fault == fault {
			close(i.restart.over)
			i.restart = nil
		}
	}
}

// live returns when the process of an instance has ended for good, with its end. A
// process that a fault restarts is started again when the fault is over. outputs close
// when the output of each process is stored. An error says that the process could not
// be started again.
func (f *Fleet) live(i *instance, job process.Program, output chan struct{}) (end process.Exit, outputs []chan struct{}, err error) {
	for outputs = append(outputs, output); ; outputs = append(outputs, output) {
		end = i.process.Wait()
		f.mu.Lock()
		under := i.restart
		if under == nil || i.lifecycle == driver.Terminating || i.outage || f.closing {
			f.mu.Unlock()
			return end, outputs, nil
		}
		i.process = nil
		f.bump(i.group.cluster)
		f.mu.Unlock()
		f.runner.Sweep("SHOWRUNNER_INSTANCE=" + i.id)
		select {
		case <-under.over:
		case <-i.ctx.Done():
			return end, outputs, nil
		}
		if output, err = f.begin(i, job); err != nil {
			return end, outputs, err
		}
	}
}
