"""The scorers: information, generative and semantic entropy; one file per way to have them."""
