// Package importer reads the pipelines of other systems and writes the
// equivalent pipeline file: CloudFormation templates as `cdk synth` writes
// them, CodePipeline documents as `aws codepipeline get-pipeline` prints them,
// and Spinnaker's pipeline JSON.
//
// It is pure: bytes in, a document, its YAML and notes out. What cannot be
// carried over is listed with its JSON pointer in the source document and the
// reason; nothing is dropped in silence. That holds by construction: reading a
// value marks it, and what nobody read is reported (see input.unread).
//
// It stands before the journey: what it writes is an ordinary pipeline file,
// to be read, changed and committed like one written by hand. It refuses to
// talk to the other system, and to know how any stage is carried out.
package importer
