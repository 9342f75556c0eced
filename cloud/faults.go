package cloud

import (
	"context"

	"showrunner/cloud/driver"
)

// The faults of package driver, for callers.
type (
	// Fault is a fault in one region.
	Fault = driver.Fault
	// FaultKind names what a fault does.
	FaultKind = driver.FaultKind
	// FaultPlace is where on its way a request is hit.
	FaultPlace = driver.FaultPlace
	// ActiveFault is a fault that has been injected and not been undone.
	ActiveFault = driver.ActiveFault
)

// The places where a request is hit.
const (
	FaultAtInstance = driver.FaultAtInstance
	FaultAtBalancer = driver.FaultAtBalancer
	FaultAtEdge     = driver.FaultAtEdge
)

// CheckFault refuses a fault that no driver can inject. Errors: invalid.
func CheckFault(f Fault) error { return driver.CheckFault(f) }

// Inject begins a fault, which the cloud undoes by itself after its duration.
func (a *Account) Inject(ctx context.Context, region string, f Fault, key string) error {
	const op = "cloud.inject"
	d, lacks := ability[driver.FaultInjector](a, op, "injecting faults")
	refused := first(driver.CheckFault(f), lacks)
	return a.change(ctx, change{op, region, "fault", f.ID, key, "injecting the fault " + f.ID, f, refused}, func(ctx context.Context) error {
		return d.Inject(ctx, region, f, key)
	})
}

// Undo ends a fault at once; one that is not there is success.
func (a *Account) Undo(ctx context.Context, region, fault, key string) error {
	const op = "cloud.undo"
	d, lacks := ability[driver.FaultInjector](a, op, "undoing faults")
	return a.change(ctx, change{op, region, "fault", fault, key, "undoing the fault " + fault, nil, lacks}, func(ctx context.Context) error {
		return d.Undo(ctx, region, fault, key)
	})
}

// ActiveFaults lists the faults of a region that are not undone.
func (a *Account) ActiveFaults(ctx context.Context, region string) (list []ActiveFault, err error) {
	const op = "cloud.faults"
	d, err := ability[driver.FaultInjector](a, op, "listing faults")
	if err != nil {
		return nil, err
	}
	err = a.do(op, region, "listing faults", func() error {
		list, err = d.ActiveFaults(ctx, region)
		return err
	})
	return list, err
}
