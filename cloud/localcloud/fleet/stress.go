package fleet

import (
	"os"
	"slices"
	"syscall"

	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/cloud/localcloud/internal/stress"
	"showrunner/problem"
)

// stressOf is what a fault has used up beside each instance; ok is false for faults
// that use nothing up.
func stressOf(f driver.Fault) (kind stress.Kind, amount float64, ok bool) {
	switch f.Kind {
	case driver.FaultCPU:
		return stress.CPU, f.Cores, true
	case driver.FaultMemory:
		return stress.Memory, float64(f.Bytes), true
	case driver.FaultDisk:
		return stress.Disk, float64(f.Bytes), true
	}
	return "", 0, false
}

// checkStress refuses what this system cannot have used up.
func (f *Fleet) checkStress(op string, fault driver.Fault) error {
	kind, amount, ok := stressOf(fault)
	if !ok {
		return nil
	}
	why := "it was not told what program does that"
	if f.config.Helper != "" {
		why = stress.Refused(kind, amount, len(fault.Instances), f.folder.path)
	}
	if why != "" {
		return problem.New(problem.Precondition, op, "region %s cannot inject a fault of the kind %s: %s", f.config.Region, fault.Kind, why)
	}
	return nil
}

// beginStress starts a program beside each instance of a fault. It has the instance's
// mark, so that it ends with it. The fleet is locked.
func (f *Fleet) beginStress(fault driver.Fault) {
	kind, amount, ok := stressOf(fault)
	if !ok {
		return
	}
	for _, id := range fault.Instances {
		i := f.instances[id]
		job := process.Program{Command: []string{f.config.Helper}, Dir: f.folder.instance(i.group.name, id), Nice: i.program.Nice,
			Env: []string{stress.Env(kind, amount), "SHOWRUNNER_INSTANCE=" + id, "SHOWRUNNER_SERVER_GROUP=" + i.group.name, markName + "=" + f.mark}}
		f.work.Go(func() { f.runStress(fault.ID, i, job) })
	}
}

// runStress is the life of a program beside an instance.
func (f *Fleet) runStress(fault string, i *instance, job process.Program) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		f.config.Log.Error("a fault has no effect", "fault", fault, "instance", i.id, "err", err)
		return
	}
	job.Output = null
	helper, err := f.runner.Start(job)
	null.Close()
	if err != nil {
		f.config.Log.Error("a fault has no effect", "fault", fault, "instance", i.id, "err", err)
		return
	}
	f.mu.Lock()
	i.helpers = append(i.helpers, helper)
	f.helpers[fault] = append(f.helpers[fault], helper)
	if _, active := f.doc.Faults[fault]; !active || f.closing || !i.running {
		helper.Signal(syscall.SIGKILL) // it ended meanwhile
	}
	f.mu.Unlock()
	helper.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	same := func(p *process.Process) bool { return p == helper }
	i.helpers = slices.DeleteFunc(slices.Clone(i.helpers), same)
	if f.helpers[fault] = slices.DeleteFunc(slices.Clone(f.helpers[fault]), same); len(f.helpers[fault]) == 0 {
		delete(f.helpers, fault)
	}
}

// endStress ends the programs of a fault. The fleet is locked.
func (f *Fleet) endStress(fault string) {
	for _, helper := range f.helpers[fault] {
		helper.Signal(syscall.SIGKILL)
	}
}
