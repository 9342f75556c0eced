// Package chaosmonkey owns the settings of Chaos Monkey (Netflix/chaosmonkey) as
// its users wrote them: the file chaosmonkey.toml, and the settings of each
// application among its attributes in Spinnaker. It reads them with the meaning
// that they have there, says where and why one cannot be used, and turns them into
// settings of package monkey. It is pure, and refuses to schedule anything.
package chaosmonkey
