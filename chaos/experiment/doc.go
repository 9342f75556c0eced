// Package experiment owns the files of our own experiments: their language, the order of
// what they do, and the record of a run. It is pure: package control carries a run out,
// keeps its record, and undoes it. Experiments of Chaos Toolkit are package toolkit's,
// and those of AWS FIS are translated by importer.
package experiment
