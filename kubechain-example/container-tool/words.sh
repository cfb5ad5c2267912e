#!/bin/sh
# Reads {"text": "..."} from stdin and prints how many words the text has.
text=$(sed -n 's/.*"text" *: *"\([^"]*\)".*/\1/p')
echo "$text" | wc -w
