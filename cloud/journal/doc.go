// Package journal makes operations on a cloud idempotent by their keys. It stands
// above the drivers and on the store: before a driver is called for a change, the
// intent is durable; once the driver has answered, the answer is durable before
// the caller sees it.
//
// A key stands for one operation with one request in one place. The same key with
// the same request returns the first answer without calling the driver. The same
// key with another operation or request is a conflict. A refusal is not
// remembered: the next call reaches the driver.
//
// When the process dies between the two writes, or the driver's answer is
// unavailable, it is unknown whether the change happened. The entry stays
// pending, and the next call with the key calls the driver again. It tells the
// driver so, and the driver finds out before it acts (by a client token, a tag or
// a name: see package driver).
//
// The package refuses to know what a request means, which errors a cloud has, and
// how entries are stored: package store implements Store, and store/storetest
// tests the store's contract.
package journal
