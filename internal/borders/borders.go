// Package borders contains the tests of the borders between packages: what each may import,
// and what the programs may link. It has no other code.
package borders
