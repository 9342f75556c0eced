// Package journal makes operations on a cloud idempotent by their keys. It
// stands above the drivers and on the store: before a driver is asked for a
// change, the intent is durable; once the driver has answered, the answer is
// durable before the caller sees it.
//
// What a key stands for is one operation with one request in one place. The
// same key with the same request answers as it did the first time, and the
// driver is not asked. The same key with another operation or request is a
// conflict. A refusal is not remembered: the next call asks the driver.
//
// When the process dies between the two writes, or the driver's answer is
// unavailable, nobody knows whether the change happened. The entry stays
// pending, and the next call with the key asks the driver again. It tells the
// driver so, and the driver finds out before it acts (a client token, a tag, a
// name: see package driver).
//
// The package refuses to own what a request means, which errors a cloud has,
// and how entries are stored: package store implements Store, and
// store/storetest says what that has to keep.
package journal
