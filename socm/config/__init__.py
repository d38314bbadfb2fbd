"""From files to the model: campaigns and clusters, with every problem at once."""

from socm.config.campaign import LoadedCampaign, load_campaign
from socm.config.cluster import builtin_clusters, load_cluster

__all__ = ["LoadedCampaign", "builtin_clusters", "load_campaign", "load_cluster"]
