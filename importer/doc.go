// Package importer reads the pipelines of other systems and writes the
// equivalent pipeline file: CloudFormation templates as `cdk synth` writes
// them, CodePipeline documents as `aws codepipeline get-pipeline` prints them,
// what `terraform show -json` prints, and Spinnaker's pipeline JSON. The settings of
// Chaos Monkey become the chaos block of a pipeline file, and templates of AWS FIS
// experiments.
//
// It is pure: bytes in, a document, its YAML and notes out. Two things hold for
// every document, and tests over whole documents verify them:
//
//   - Each member of the source document is carried over, which means that the
//     file differs without it, or is named in a note with its JSON pointer and
//     the reason. That a member was read does not count.
//   - The file that is written is valid, its buildspecs too. What the original
//     allows and the language refuses is taken out, with a note.
//
// It stands before the journey: what it writes is an ordinary pipeline file,
// to be read, changed and committed like one written by hand. It refuses to
// talk to the other system, and to know how any stage is carried out.
package importer
