// Package borders holds the test that keeps the packages apart: what each may import, and
// what the programs may link. It has no code of its own.
package borders
