package app

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what an operator watches.
type metrics struct {
	registry   *prometheus.Registry
	deliveries *prometheus.CounterVec
	rows       prometheus.Counter
	commit     prometheus.Histogram
}

func newMetrics(a *App) *metrics {
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_deliveries_acked_total", Help: "Deliveries acked: content and journal line on disk."}, []string{"intake"}),
		rows:       prometheus.NewCounter(prometheus.CounterOpts{Name: "tocsin_rows_loaded_total", Help: "Rows that went through the road, duplicates and quarantined ones included."}),
		commit:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tocsin_store_transaction_seconds", Help: "Time of a transaction of the store.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 12)}),
	}
	m.registry.MustRegister(m.deliveries, m.rows, m.commit, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_deliveries_waiting", Help: "Deliveries acked and not yet in the store."}, func() float64 { return float64(a.waitingCount()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_loading_stopped", Help: "1 while nothing can be loaded, as on a full disk; what is acked meanwhile waits."}, func() float64 {
			if a.down.Load() != nil {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_up_to_ack", Help: "1 while deliveries can be acked."}, func() float64 {
			if a.arch == nil || a.arch.Err() != nil {
				return 0
			}
			return 1
		}),
	)
	return m
}

func (m *metrics) loaded(rows int, took time.Duration) {
	m.rows.Add(float64(rows))
	m.commit.Observe(took.Seconds())
}

// Metrics returns the handler of the metrics in Prometheus' format.
func (a *App) Metrics() http.Handler {
	return promhttp.HandlerFor(a.stats.registry, promhttp.HandlerOpts{})
}

func (a *App) waitingCount() int64 {
	if a.road == nil {
		return 0
	}
	a.road.mu.Lock()
	defer a.road.mu.Unlock()
	return int64(a.road.queued)
}
