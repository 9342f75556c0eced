// Package codepipeline serves AWS CodePipeline. A pipeline that a client of AWS
// makes is a document and an application of ours, whose pipeline file is made from
// it; every execution, state, approval, retry and stop is that of the engine. The
// stages of the file say in their descriptions which action they are, so that an
// execution can be told as AWS tells it whatever has become of the pipeline since.
// Pipelines of other applications are there too, as PIPELINE@APPLICATION.
//
// It refuses actions that nothing here can carry out, by their names and before
// anything is made; custom action types; and webhooks.
//
// Source: AWS CodePipeline API Reference.
package codepipeline
