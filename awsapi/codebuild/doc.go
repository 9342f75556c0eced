// Package codebuild serves AWS CodeBuild. A project is a document; a build of its
// own is an execution of the engine with the stages that fetch its source, run its
// buildspec and upload its artifacts, and a build in a pipeline is the build stage of
// that execution. So a build's identifier names its execution, and nothing is kept
// beside it but the settings that it was started with. It refuses batch builds,
// secondary artifacts, file systems, sources other than S3, GitHub and CodePipeline,
// and build environments other than Linux.
//
// Source: AWS CodeBuild API Reference.
package codebuild
