"""What the channels mean: reference samples, pictures, graphs, measures, built on LRP and CRP."""
