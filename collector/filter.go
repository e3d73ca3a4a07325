// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"regexp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Filter keeps or drops workloads by their names. A nil pattern does not
// filter. Kills are counted whatever the filter says; it only hides series.
type Filter struct {
	IncludeNamespace, ExcludeNamespace *regexp.Regexp
	IncludePod, ExcludePod             *regexp.Regexp
	IncludeContainer, ExcludeContainer *regexp.Regexp
}

// keeps tells whether a workload's series are shown.
func (f *Filter) keeps(w oom.Workload) bool {
	return f == nil || f.keepsPod(w) && pass(f.IncludeContainer, f.ExcludeContainer, w.Container)
}

// keepsPod checks namespace and pod only.
func (f *Filter) keepsPod(w oom.Workload) bool {
	return f == nil || pass(f.IncludeNamespace, f.ExcludeNamespace, w.Namespace) && pass(f.IncludePod, f.ExcludePod, w.Pod)
}

func pass(include, exclude *regexp.Regexp, s string) bool {
	return (include == nil || include.MatchString(s)) && (exclude == nil || !exclude.MatchString(s))
}
