package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkPatch edits 1,000 products through HTTP, with 8 clients.
func BenchmarkPatch(b *testing.B) {
	k := newKit(b, func(c *Config) { c.Log, c.Registerer = slog.New(slog.DiscardHandler), prometheus.NewRegistry() }).seed()
	const products = 1000
	for i := range products {
		k.make(fmt.Sprintf("P-%d", i))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var n atomic.Int64
	b.SetParallelism(4)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			req, err := http.NewRequest("PATCH", fmt.Sprintf("%s/v1/products/P-%d", k.url, i%products), strings.NewReader(fmt.Sprintf(`{"values":{"name":{"en-GB":"Name %d"}}}`, i)))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+k.keys[Editor])
			req.Header.Set("Content-Type", typeMerge)
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("%d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "edits/s")
}
