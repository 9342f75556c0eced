package control

import (
	"context"

	"showrunner/cloud"
)

// Functions runs functions of the local cloud for a face that keeps them. Requests to
// functions are traffic, and not in the audit log; what makes and changes functions is.
type Functions struct{ groups *Groups }

// Functions makes them for a principal.
func (s *Service) Functions(p Principal) *Functions { return &Functions{s.Groups(p)} }

// Runtimes lists the runtimes of a region, with what they need: the one of a name, or
// with none all of them. Errors: denied, unavailable.
func (f *Functions) Runtimes(ctx context.Context, region, name string) (list []cloud.Runtime, err error) {
	err = f.groups.read(func(a *cloud.Account) error { list, err = a.Runtimes(ctx, region, name); return err })
	return list, err
}

// Invoke runs a function once and passes its log on as it comes. Errors: denied,
// precondition for a runtime that is not there, unavailable: the outcome is not known.
func (f *Functions) Invoke(ctx context.Context, region string, in cloud.Invocation, log func(cloud.LogLines)) (r cloud.InvocationResult, err error) {
	if err := f.groups.service.permit(f.groups.principal, opAWS, Subject{Kind: KindAWS, Name: in.Function, Account: DefaultAccount}); err != nil {
		return r, err
	}
	a, err := f.groups.account()
	if err != nil {
		return r, err
	}
	return a.Invoke(ctx, region, in, log)
}

// End ends what a function has running and does not need for a request. Errors: denied, unavailable.
func (f *Functions) End(ctx context.Context, region, function string) error {
	return f.groups.read(func(a *cloud.Account) error { return a.EndFunction(ctx, region, function) })
}
