package server

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"strings"

	"showrunner/problem"
	"showrunner/subscription"
	"showrunner/subscription/kinesis"
	"showrunner/telemetry/trace"
)

// tracesName is the subscription that sends runs to the collector of --traces-to.
const tracesName = "opentelemetry"

// openStream makes the stream of a subscription.
func (c *controlPlane) openStream(ctx context.Context, sub subscription.Subscription, secret string) (subscription.Stream, error) {
	if sub.Format != subscription.FormatOTLP {
		return kinesis.Open(ctx, sub.URL, secret)
	}
	if secret == "" && sub.Name == tracesName {
		secret = cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS"), os.Getenv("OTEL_EXPORTER_OTLP_HEADERS"))
	}
	headers, err := trace.ParseHeaders(secret)
	if err != nil {
		return nil, err
	}
	packed := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"), os.Getenv("OTEL_EXPORTER_OTLP_COMPRESSION")) == "gzip"
	return &trace.Exporter{Executions: c.engine, Address: sub.URL, Headers: headers, Gzip: packed, Pages: c.URL, Version: c.Version,
		Client: subscription.NewClient(), Log: c.Log}, nil
}

// collector is the address that traces are sent to by --traces-to or the environment;
// empty: nowhere. Errors: invalid.
func collector(config ControlConfig) (string, error) {
	address := config.TracesTo
	if address == "off" {
		return "", nil
	}
	if address == "" {
		if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
			return "", nil
		}
		if address = os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); address == "" { // used as it is, by the specification
			if address = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); address == "" {
				return "", nil
			}
			address = strings.TrimRight(address, "/") + "/v1/traces"
		}
		if p := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); p != "" && p != "http/protobuf" {
			config.Log.Warn("no traces are sent: the environment asks for another protocol than http/protobuf; --traces-to sends them by that one", "protocol", p)
			return "", nil
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", problem.New(problem.Invalid, "control", "the address that traces are sent to is not an http or https URL").
			WithHelp("--traces-to http://HOST:4318, or off")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// sendTraces keeps the subscription of the collector, before anything is started: with
// what happens from now on when it is new, else from where it was.
func (c *controlPlane) sendTraces(ctx context.Context) error {
	address, err := collector(c.ControlConfig)
	if err != nil {
		return err
	}
	subs := subscription.Store{Records: c.store}
	if address == "" {
		list, err := subs.List(ctx)
		if err != nil {
			return err
		}
		for _, s := range list {
			if s.Name == tracesName && s.By == tracesBy {
				return subs.Delete(ctx, tracesName)
			}
		}
		return nil
	}
	from, err := c.engine.End(ctx)
	if err != nil {
		return err
	}
	return subs.Put(ctx, subscription.Subscription{Name: tracesName, URL: address, Format: subscription.FormatOTLP, By: tracesBy}, from)
}

// tracesBy marks the subscription that --traces-to has made.
const tracesBy = "--traces-to"
