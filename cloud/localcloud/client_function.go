package localcloud

import (
	"context"

	"showrunner/cloud/driver"
)

// Runtimes implements driver.FunctionRunner.
func (c *Client) Runtimes(ctx context.Context, region, name string) ([]driver.Runtime, error) {
	r, err := c.region(region)
	if err != nil {
		return nil, err
	}
	return r.functions.Runtimes(ctx, region, name)
}

// Invoke implements driver.FunctionRunner.
func (c *Client) Invoke(ctx context.Context, region string, in driver.Invocation, log func(driver.LogLines)) (driver.InvocationResult, error) {
	r, err := c.region(region)
	if err != nil {
		return driver.InvocationResult{}, err
	}
	return r.functions.Invoke(ctx, region, in, log)
}

// EndFunction implements driver.FunctionRunner.
func (c *Client) EndFunction(ctx context.Context, region, name string) error {
	r, err := c.region(region)
	if err != nil {
		return err
	}
	return r.functions.EndFunction(ctx, region, name)
}
