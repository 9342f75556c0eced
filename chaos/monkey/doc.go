// Package monkey owns the rules of Chaos Monkey: which groups of instances there
// are, when a group loses an instance, what has to hold at that moment, and which
// instance it is. It is pure: chance comes from a seed, time is an argument, and
// what is known about the system is handed in. It refuses to know how an
// application's instances are found and ended; package control does that, and
// keeps the schedule.
//
// The rules are those of Chaos Monkey 2 (Netflix/chaosmonkey): each working day a
// group is hit with the probability 1/mean, at a minute that is uniform over the
// hours, unless the last kill is less than min working days ago. So the working
// days X from one kill of a group to the next have
//
//	P(X = n) = 1/mean · (1 - 1/mean)^(n-e) for n ≥ e = max(min, 1),  E[X] = mean + e - 1
package monkey
