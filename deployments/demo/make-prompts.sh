#!/bin/sh
# Renders texts/LANGUAGE.yaml into prompts/LANGUAGE/NAME.wav with espeak-ng and
# sox, and the music with our own generator. Run by `make prompts`; what it
# makes is committed, so running Bugle needs none of these programs.
#
# Each prompt: 100 ms of silence, speech at about -20 dBFS RMS, 100 ms of
# silence; 8 kHz, one channel, G.711 µ-law. What lies above the telephone's
# band is lost, so consonants are lifted within it, by 5 dB around 2400 Hz.
set -eu
cd "$(dirname "$0")"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# voice LANGUAGE: the espeak-ng options, a little slower than its usual 175
# words a minute and with a breath between words (-g, in 10 ms).
voice() {
	case $1 in
	en) echo "-v en-us+f3 -s 150 -p 45 -g 2" ;;
	es) echo "-v es+f3 -s 152 -p 45 -g 2" ;;
	de) echo "-v de+f3 -s 152 -p 45 -g 2" ;;
	it) echo "-v it+f3 -s 152 -p 45 -g 2" ;;
	*) echo "make-prompts: no voice for $1" >&2 && return 1 ;;
	esac
}

# render LANGUAGE NAME TEXT
render() {
	raw=$scratch/raw.wav
	clean=$scratch/clean.wav
	options=$(voice "$1")
	# shellcheck disable=SC2086 # the options are meant to be split
	espeak-ng $options -w "$raw" -- "$3"
	# The band; the loudest syllables a little softer, so that -20 dB leaves
	# room for their peaks; the silence at either end cut off.
	sox -D "$raw" -r 8000 "$clean" gain -9 highpass 180 equalizer 2400 1q 5 lowpass 3500 \
		compand 0.002,0.08 4:-70,-70,-35,-35,-20,-24,0,-15 \
		silence 1 0.01 -54d fade t 0.005 reverse silence 1 0.01 -54d fade t 0.005 reverse pad 0.1 0.1
	rms=$(sox "$clean" -n stats 2>&1 | awk '/^RMS lev dB/ {print $4}')
	sox -D "$clean" -e mu-law -b 8 "$scratch/prompts/$1/$2.wav" gain "$(awk -v rms="$rms" 'BEGIN {print -20 - rms}')"
}

for texts in texts/*.yaml; do
	language=$(basename "$texts" .yaml)
	mkdir -p "$scratch/prompts/$language"
	sed -n 's/^\([a-z_]*\): "\(.*\)"$/\1 \2/p' "$texts" | while read -r name text; do
		render "$language" "$name" "$text"
	done
done
go run ./music >"$scratch/prompts/music.wav"

# Only now, when all went well, is the old replaced. recordings/ is not ours.
for texts in texts/*.yaml; do
	rm -rf "prompts/$(basename "$texts" .yaml)"
done
cp -r "$scratch/prompts" .
