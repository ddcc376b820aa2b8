"""What `crashes.py` needs: forked commands, kills at exact places, digests of what they leave."""
