//go:build !unix

package fakeworks

// reserve does nothing here.
func reserve(string) (release func()) { return func() {} }
