package cloud

import (
	"context"

	"showrunner/cloud/driver"
)

// Runtimes lists the runtimes of functions in a region, with what they need: the one of
// a name, or with none all of them.
func (a *Account) Runtimes(ctx context.Context, region, name string) (list []Runtime, err error) {
	const op = "cloud.runtimes"
	d, err := ability[driver.FunctionRunner](a, op, "running functions")
	if err != nil {
		return nil, err
	}
	err = a.do(op, region, "listing the runtimes of functions", func() error {
		list, err = d.Runtimes(ctx, region, name)
		return err
	})
	return list, err
}

// Invoke runs a function once and passes its log on as it comes.
func (a *Account) Invoke(ctx context.Context, region string, in Invocation, log func(LogLines)) (r InvocationResult, err error) {
	const op = "cloud.invoke"
	d, lacks := ability[driver.FunctionRunner](a, op, "running functions")
	if err := first(lacks, driver.CheckInvocation(in)); err != nil {
		return InvocationResult{}, err
	}
	err = a.do(op, region, "invoking "+in.Function, func() error {
		r, err = d.Invoke(ctx, region, in, log)
		return err
	})
	return r, err
}

// EndFunction ends what a function has running and does not need for a request.
func (a *Account) EndFunction(ctx context.Context, region, function string) error {
	const op = "cloud.end-function"
	d, err := ability[driver.FunctionRunner](a, op, "ending functions")
	if err != nil {
		return err
	}
	return a.do(op, region, "ending "+function, func() error { return d.EndFunction(ctx, region, function) })
}
