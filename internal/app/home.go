package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"tocsin/internal/archive"
	"tocsin/internal/registry"
)

// countries are the 249 codes of two letters that ISO 3166-1 assigns to
// countries and areas (its newsletters up to 2023), in order.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"

// CheckHome refuses what is no country of a constituency: "", which leaves it
// open, a code that ISO 3166-1 assigns, or one of those from XA to XZ that it
// leaves to its users, such as XK for Kosovo. Case does not matter.
func CheckHome(home string) error {
	code := strings.ToUpper(home)
	if home == "" || len(home) == 2 && len(code) == 2 && (slices.Contains(strings.Fields(countries), code) || code[0] == 'X' && 'A' <= code[1] && code[1] <= 'Z') {
		return nil
	}
	return fmt.Errorf("home: %q is no country code of ISO 3166-1: two letters, such as NL", home)
}

// configure journals what the configuration says where that is not what is
// journalled, and logs which setting became what.
func (a *App) configure(ctx context.Context, fresh bool) error {
	if err := CheckHome(a.cfg.Home); err != nil {
		return err
	}
	var c registry.Config
	changed := false
	tell := func(known bool, key, from, to string) {
		if changed = true; known {
			a.log.LogAttrs(ctx, slog.LevelWarn, "a setting is another one than at the last start", slog.String("key", key), slog.String("from", from), slog.String("to", to))
		}
	}
	code, name := a.reg.Home()
	if home := strings.ToUpper(a.cfg.Home); home != "" && home != code {
		c.Home = &home
		tell(code != "", "home", code, home)
	}
	if a.cfg.HomeName != "" && a.cfg.HomeName != name {
		c.HomeName = &a.cfg.HomeName
		tell(name != "", "home_name", name, a.cfg.HomeName)
	}
	if before := a.reg.Settings(); a.cfg.Settings != nil && !maps.Equal(before, a.cfg.Settings) {
		c.Settings = a.cfg.Settings
		keys := map[string]bool{}
		for _, m := range []map[string]string{before, a.cfg.Settings} {
			for k := range m {
				keys[k] = true
			}
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if from, to := setting(before, k), setting(a.cfg.Settings, k); from != to {
				tell(!fresh, k, from, to)
			}
		}
	}
	if !changed {
		return nil
	}
	err := a.journal(ctx, "local", archive.KindConfig, nil, c)
	if errors.Is(err, archive.ErrUnavailable) || errors.Is(err, archive.ErrNoSpace) {
		a.log.LogAttrs(ctx, slog.LevelError, "the configuration has changed and cannot be journalled; home and home_name stay as they were until the next start", slog.Any("error", err))
		return nil
	}
	return err
}

func setting(m map[string]string, key string) string {
	if v, ok := m[key]; ok {
		return v
	}
	return "the default"
}

// Home returns the country code of the constituency that is in force.
func (a *App) Home() string { code, _ := a.reg.Home(); return code }
