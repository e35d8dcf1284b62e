#!/bin/sh
# Renders texts/LANGUAGE.yaml into prompts/LANGUAGE/NAME.wav with espeak-ng and
# sox, and the music with our own generator. Run by `make prompts`; what it
# makes is committed, so running Bugle needs none of these programs.
#
# Each prompt: 100 ms of silence, speech at -20 dBFS RMS within the telephone's
# band, 100 ms of silence; 8 kHz, one channel, G.711 µ-law.
set -eu
cd "$(dirname "$0")"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# voice LANGUAGE: the espeak-ng options that are clearest over a telephone.
voice() {
	case $1 in
	en) echo "-v en-us+f3 -s 150 -p 45 -g 2" ;;
	es) echo "-v es+f3 -s 145 -p 45 -g 2" ;;
	de) echo "-v de+f3 -s 145 -p 45 -g 2" ;;
	it) echo "-v it+f3 -s 145 -p 45 -g 2" ;;
	*) echo "make-prompts: no voice for $1" >&2 && exit 1 ;;
	esac
}

# render LANGUAGE NAME TEXT
render() {
	raw=$scratch/raw.wav
	clean=$scratch/clean.wav
	# shellcheck disable=SC2046 # the options are meant to be split
	espeak-ng $(voice "$1") -w "$raw" -- "$3"
	# Band, and silence at both ends off down to -45 dB.
	sox -D "$raw" -r 8000 "$clean" highpass 180 lowpass 3500 \
		silence 1 0.01 -45d reverse silence 1 0.01 -45d reverse
	rms=$(sox "$clean" -n stats 2>&1 | awk '/^RMS lev dB/ {print $4}')
	gain=$(awk -v rms="$rms" 'BEGIN {print -20 - rms}')
	sox -D "$clean" -e mu-law -b 8 "prompts/$1/$2.wav" gain -l "$gain" fade t 0.005 -0 0.005 pad 0.1 0.1
}

for texts in texts/*.yaml; do
	language=$(basename "$texts" .yaml)
	rm -rf "prompts/$language"
	mkdir -p "prompts/$language"
	sed -n 's/^\([a-z_]*\): "\(.*\)"$/\1 \2/p' "$texts" | while read -r name text; do
		render "$language" "$name" "$text"
	done
done
go run ./music >prompts/music.wav
