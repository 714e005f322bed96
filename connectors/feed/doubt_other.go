//go:build !unix

package feed

// writable leaves it to the first push to find out.
func writable(string) bool { return true }
