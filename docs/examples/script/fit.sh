#!/bin/sh
# Fits y = a x by steps, goes on from its checkpoint, and leaves a as the model.
a=0
step=0
if [ -n "$SHOAL_RESUME_FROM" ]; then
    read -r step a < "$SHOAL_RESUME_FROM/state"
fi
while [ "$step" -lt 20 ]; do
    step=$((step + 1))
    a=$((a + (1000 - a) / 4))
    echo "SHOAL {\"step\": $step, \"loss\": $((1000 - a)), \"progress\": {\"done\": $step, \"total\": 20}}"
    echo "$step $a" > "$SHOAL_CHECKPOINT_DIR/state"
    echo "SHOAL {\"step\": $step, \"checkpoint\": \"state\"}"
done
echo "$a" > slope
